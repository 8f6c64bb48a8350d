# Everything runs from a virtual environment that the first target makes; PYTHON may name another interpreter.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
DEMO := data/demo

.PHONY: demo test lint clean

$(VENV)/.installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

# The main job on synthetic patients: recordings -> beats -> splits -> training -> test, with pictures.
demo: $(VENV)/.installed
	$(RUN) -m preprocess --dataset mit --source synthetic --patients 12 --minutes 3 \
		--raw_path $(DEMO)/raw --out $(DEMO)
	$(RUN) main.py --dataset mit --device cpu --data_path $(DEMO) \
		--experiment_description demo --recipe short --num_epochs 12 --batch_size 32 --umap

test: $(VENV)/.installed lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy .

clean:
	rm -rf $(VENV) $(DEMO) .pytest_cache .ruff_cache .hypothesis

"""The encoder layer of BiTrans at the speed of the machine: `encoder` chooses how, `native` compiles."""

"""The hot room: the encoder layer of BiTrans at the speed of the machine. `encoder` chooses, `native` compiles."""

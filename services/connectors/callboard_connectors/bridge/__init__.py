"""Between the eras: what an upstream of one era needs of a client of the other."""

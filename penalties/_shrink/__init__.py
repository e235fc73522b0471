"""Networks that become smaller: which units belong together, which are dead, and the network without them."""

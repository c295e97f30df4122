"""Many gradients → one: gradient surgery. The first link of a chain."""

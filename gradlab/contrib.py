"""What optax.contrib has, with gradlab's own rules in place of optax's where it has them."""

from optax.contrib import *

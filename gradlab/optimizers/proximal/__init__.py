"""Rules whose step ends in a proximal operator, a projection or a mirror map."""

"""``raynef doctor``: what this machine has, whether it works, and what to do about each problem."""

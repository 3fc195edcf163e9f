"""features: pixels to patch features through a frozen backbone; distilling a small one."""

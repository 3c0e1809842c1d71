"""What pages show, as frozen values: the same value fills the template and its JSON twin."""

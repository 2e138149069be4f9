"""Names that vulture would call dead although something outside Python uses them. Empty so far: keep it so."""

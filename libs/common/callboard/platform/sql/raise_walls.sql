select cb.raise_walls()

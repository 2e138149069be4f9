"""Tasks that calls leave behind: their ids are sealed on the way down, opened and put back on the way up."""

select set_config('callboard.organisation', $1, false)

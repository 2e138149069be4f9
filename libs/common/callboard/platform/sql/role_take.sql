grant {role} to current_user with inherit false, set true

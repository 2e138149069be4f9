alter role callboard_rooms password '{password}';
grant callboard_room, callboard_keeper to callboard_rooms with inherit false, set true

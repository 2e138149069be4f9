"""The authorization server as clients see it over HTTP; what it decides is decided in authsvc."""

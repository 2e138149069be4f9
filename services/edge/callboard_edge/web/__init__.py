"""Pages for people: so far those on which somebody signs in to an upstream server."""

"""Analytics consumers: programs that read call records and events of one organisation from the bus."""

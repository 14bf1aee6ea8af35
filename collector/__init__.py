"""The centre: takes records from the stream, commits them, acknowledges them, and answers what the fleet knows."""

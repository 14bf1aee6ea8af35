"""What was found, as plain texts: a terminal, a page and a mail say the same words and round alike."""

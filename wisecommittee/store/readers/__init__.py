"""Files of other programs -> checked arrays and tables. May be added: another file format."""

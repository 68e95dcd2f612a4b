"""The words of the field, without any input or output: no file, no clock, no database, no broker."""

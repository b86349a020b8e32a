"""The judge: pure functions from a record to a verdict. No clock, no input or output, no I/O library."""

"""Small real models out of ordinary packages, for photographs where no model hub is reached."""

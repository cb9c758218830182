"""Files: pictures, data sets, configurations, downloads, and where a result comes from."""

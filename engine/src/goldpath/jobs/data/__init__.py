"""From a source to bronze, silver and gold; the lake's report and its versions."""

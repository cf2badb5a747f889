"""Row features: expressions over a row's columns, traced once and evaluated alike everywhere."""

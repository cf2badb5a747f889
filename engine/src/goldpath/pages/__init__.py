"""HTML pages for people: Jinja2 templates, one stylesheet, and the geometry of their charts."""

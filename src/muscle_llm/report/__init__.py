"""Reports: a comparison as page, Markdown, JSON."""

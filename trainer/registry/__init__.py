"""Where bundles and channels live: a folder or an object store."""

"""`make release`: everything a user installs, made from one commit, into one folder.

Read `__main__` for the order of the steps, `tree` for what is refused, then `packages`, `environment` and `changelog`.
Publishes nothing: .github/workflows/release.yml uploads the folder.
"""

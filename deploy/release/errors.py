"""What refuses a release."""


class ReleaseRefusedError(Exception):
    """The tree, the version, or what would be shipped is not fit for a release; says why and what to do."""

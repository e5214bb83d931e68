"""What can go wrong with the local Kafka, in addition to what can go wrong with any local service.

The tree is drawn in `deploy.process`.
"""

from deploy.process import LocalServiceError, ServiceUnavailable


class KafkaUnavailable(ServiceUnavailable):
    """Java or Maven is missing, or Java is too old; the message says what to install."""


class DownloadFailed(LocalServiceError):  # noqa: N818 - as its siblings in deploy.process
    """Maven could not download the broker's jars; the message has the end of its output."""


class TopicsFailed(LocalServiceError):  # noqa: N818 - as its siblings in deploy.process
    """A topic could not be created as asked; the message says which and why."""

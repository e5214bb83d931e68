"""What a connection to the brokers needs with either client.

Owns the text of a failed connection, and secrets and paths as the clients' options take them. Imports no client.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from worker.settings import WorkerSettings


def connection_hint(settings: WorkerSettings) -> str:
    """Return how an error about a connection begins; the clients report a wrong password as a time-out, too."""
    servers = ",".join(settings.kafka_bootstrap_servers)
    return (
        f"WORKER_KAFKA_BOOTSTRAP_SERVERS={servers}: is a broker up there, and are "
        f"WORKER_KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol} and the credentials right?"
    )


def sasl_mechanism(settings: WorkerSettings) -> str | None:
    """Return the mechanism as the clients know it: AWS's tokens go over OAUTHBEARER."""
    return "OAUTHBEARER" if settings.kafka_sasl_mechanism == "AWS_MSK_IAM" else settings.kafka_sasl_mechanism


def secret_text(secret: SecretStr | None) -> str | None:
    """Return a secret's text, for the client's options only."""
    return None if secret is None else secret.get_secret_value()


def path_text(path: Path | None) -> str | None:
    """Return a path as text."""
    return None if path is None else str(path)

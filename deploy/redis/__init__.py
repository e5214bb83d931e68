"""A real Redis on loopback for tests, chaos, benchmarks and `make demo`; never used in production."""

from deploy.redis.server import LocalRedis, RedisUnavailable

__all__ = ["LocalRedis", "RedisUnavailable"]

"""PromQL as the panels need it: matchers of what is chosen, and a few forms of query."""

OF_MODEL = 'model=~"${model:raw}"'
"""The main model's series have no label `model`; `.*`, which stands for all, matches them, too."""

OF_SOURCE = 'source=~"$source"'
OF_TABLE = 'source=~"$table"'
OF_DAG = 'dag_id=~"$dag"'

OF_PREDICTIONS = 'route=~"(/models/[^/]+)?/predict.*"'
OF_ONE_ROW = 'route=~"(/models/[^/]+)?/predict"'
OF_BATCHES = 'route=~"(/models/[^/]+)?/predict/batch"'


def series(metric: str, *matchers: str) -> str:
    """A metric's series of the chosen model."""
    return f"{metric}{{{', '.join((OF_MODEL, *matchers))}}}"


def newest(metric: str, *labels: str, of: tuple[str, ...] = ()) -> str:
    """A gauge by model and further labels; the service and the node exporter may both show it."""
    return f"max by ({', '.join(('model', *labels))}) ({series(metric, *of)})"


def since(time: str) -> str:
    """How long ago a time was."""
    return f"time() - {time}"


def each_second(metric: str, *labels: str, of: tuple[str, ...] = ()) -> str:
    """How often something is counted in a second."""
    counted = f"rate({series(metric, *of)}[$__rate_interval])"
    return f"sum by ({', '.join(labels)}) ({counted})" if labels else f"sum({counted})"


def within(window: str, metric: str, *labels: str) -> str:
    """How often something was counted in a window, by model and further labels."""
    return f"sum by ({', '.join(('model', *labels))}) (increase({series(metric)}[{window}]))"


def share_of(part: str, whole: str) -> str:
    """One rate as a share of another; 0 where nothing of the part was ever counted."""
    return f"({part} or {whole} * 0) / {whole}"


def quantile(share: float, buckets: str, *labels: str, of: tuple[str, ...] = ()) -> str:
    """The value that a share of what a histogram holds stays below, by model and further labels."""
    return f"histogram_quantile({share}, {each_second(buckets, 'model', *labels, 'le', of=of)})"

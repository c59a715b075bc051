"""What a page's scripts hold in memory."""


def heap_bytes(ask):
    """After their garbage was collected; `ask` sends a command to the page's developer tools, `Performance` being enabled."""
    ask("HeapProfiler.collectGarbage")
    metrics = ask("Performance.getMetrics")["metrics"]
    return next(each["value"] for each in metrics if each["name"] == "JSHeapUsedSize")

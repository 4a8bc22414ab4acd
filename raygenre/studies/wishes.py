def parse_duration(text: str) -> float:
    return float(text)

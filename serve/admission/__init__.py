"""Admission control: the checks that a request must pass, and the response if a check fails.

All limits and all Retry-After values come from `limits.Limits`. A POST request passes these checks in order:

    proxy_slots       429 in Ray's proxy, before the body is read: too many requests in this proxy
    (Ray Serve)       429 in Ray's proxy: all replicas and the proxy's queue are full; `Limits` sets the size of both
    api_keys          401 in the replica: the API key is missing or wrong
    prediction_slots  429 in the replica, checked before and after the body is read: too many predictions
    upload_slots      429 in the replica: too many uploads, and this one was the slowest
    upload            413: the body is too large or the form has too many files; 415: its encoding is not gzip
    upload_pace       408: the body stalls, is too slow or takes too long
    bodies            503: no memory or disk space is left for another body
    deadline          503: the answer is not ready in time
"""

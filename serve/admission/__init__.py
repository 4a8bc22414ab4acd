"""Admission control: the checks that a request must pass, and the responses if it fails.

All limits and all Retry-After values come from `limits.Limits`. A POST request passes these checks in order:

    proxy_slots     429 in Ray's proxy, before the body is read: too many requests in this proxy
    (Ray Serve)     429 in Ray's proxy: all replicas and the proxy's queue are full; Limits sets both sizes
    api_keys        401 in the replica: the API key is missing or wrong
    concurrency     429 in the replica, before the body is read and again after it: too many predictions
    upload_slots    429 in the replica: too many uploads, of which this one has been running longest
    upload          413: the body is too large or the form has too many files; 503: no memory for more bodies
"""

# A WSGI application; VERSION is the release's.
import os
import time
import urllib.parse

VERSION = 1


def app(environ, start_response):
    query = urllib.parse.parse_qs(environ["QUERY_STRING"])
    if environ["PATH_INFO"] == "/slow":
        time.sleep(int(query["ms"][0]) / 1000)
    request = query.get("id", [environ.get("HTTP_X_REQUEST_ID", "")])[0]
    body = f"{request} {os.getpid()} {VERSION}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

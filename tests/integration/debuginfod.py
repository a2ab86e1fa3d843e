# SPDX-License-Identifier: BSD-2-Clause
"""A debuginfod server of one file, which takes its time.

	python3 debuginfod.py FILE BUILD-ID SECONDS

Prints its URL, then a line for each request: the path, and what was answered.
"""
import http.server
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = self.path == "/buildid/%s/debuginfo" % sys.argv[2]
        print(self.path, 200 if found else 404, flush=True)
        time.sleep(float(sys.argv[3]) if found else 0)
        with open(sys.argv[1], "rb") as f:
            body = f.read() if found else b""
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("http://127.0.0.1:%d" % server.server_port, flush=True)
server.serve_forever()

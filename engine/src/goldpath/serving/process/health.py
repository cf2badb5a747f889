"""Whether this machine's service answers: what the image's health check runs.

It runs every few seconds, so it imports no settings; an image is configured by its environment.
"""

import os
import ssl
import sys
import urllib.request

SECONDS = 4.0


def own_machine_opener() -> urllib.request.OpenerDirector:
    """Opens addresses of this machine: past proxies, and without checking the certificate.

    It is for the name that clients use; here it is this machine's own process.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the system's roots are not read
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )


def main() -> int:
    """Ask `/health` of the service that the environment describes; 1 where it does not answer."""
    scheme = "https" if os.environ.get("MLOPS_SERVING__TLS_CERTIFICATE") else "http"
    url = f"{scheme}://127.0.0.1:{os.environ.get('MLOPS_SERVING__PORT', '8000')}/health"
    try:
        with own_machine_opener().open(url, timeout=SECONDS):
            return 0
    except OSError as error:
        sys.stderr.write(f"{url} does not answer: {error}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main())

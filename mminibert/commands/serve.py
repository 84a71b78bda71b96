"""A service with UDPipe's REST interface, and a page."""

from __future__ import annotations

from typing import Annotated

import typer


def serve(
    pipeline: Annotated[
        str, typer.Argument(help="an installed package or the folder of a pipeline")
    ] = "xx_mminibert",
    host: Annotated[
        str,
        typer.Option(
            help="address to listen on; others than this machine's own are open to whoever reaches it"
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one", min=0, max=65535)] = 8001,
    max_characters: Annotated[int, typer.Option(help="of a text", min=1)] = 200_000,
    timeout: Annotated[float, typer.Option(help="seconds until a request is given up", min=0.1)] = 60,
) -> None:
    """Serve UDPipe's REST interface, and a page to try texts.

    Ctrl-C or SIGTERM ends it when what runs is done.
    """
    import signal
    import socket
    from contextlib import suppress

    import spacy
    import uvicorn

    from ..service.app import make_app

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listening:
        # Inherited by connections. asyncio sets it for sockets that name their protocol alone; without it, an
        # answer waits 40 ms for the client to acknowledge its head.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        nlp = spacy.load(pipeline)
        app = make_app(nlp, longest=min(max_characters, nlp.max_length), seconds=timeout)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=int(timeout) + 1)
        shown = f"[{host}]" if ":" in host else host
        typer.echo(f"http://{shown}:{listening.getsockname()[1]}/ serves {pipeline}; Ctrl-C ends it")
        # What ended it is raised again when all is done, and is no fault.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])

"""A tus server from PyPI: tus_server.py DIRECTORY PORT"""
import os
import sys

import uvicorn
from fastapi import FastAPI
from tuspyserver import create_tus_router

app = FastAPI()
app.include_router(create_tus_router(prefix="files", files_dir=sys.argv[1], max_size=1 << 40))

if __name__ == "__main__":
    uvicorn.run(
        "tus_server:app",
        app_dir=os.path.dirname(os.path.abspath(__file__)),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        workers=len(os.sched_getaffinity(0)),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )

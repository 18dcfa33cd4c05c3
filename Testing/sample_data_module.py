"""Stands in for Slicer's SampleData module, of which slicer-core has none: as far as the sample needs it, and with its ways."""

from __future__ import annotations

import hashlib
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import slicer


class SampleDataLogic:
    """Sources by category in slicer.modules.sampleDataSources; files in the scene's cache."""

    def __init__(self, logMessage=None):
        self.log = logMessage or print

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
        loadFileType=None,
    ):
        values = dict(
            uris=[uris], fileNames=[fileNames], nodeNames=[nodeNames], loadFiles=[loadFiles], checksums=[checksums]
        )
        source = SimpleNamespace(
            sampleName=sampleName, customDownloader=customDownloader, thumbnailFileName=thumbnailFileName, **values)  # fmt: skip
        sources = slicer.modules.sampleDataSources.setdefault(category, [])
        if str(source) not in map(str, sources):  # Slicer compares sources as text, too
            sources.append(source)

    def downloadFileIntoCache(self, uri, name, checksum=None, forceDownload=False):
        """The path, also of a file that is not there any more for its checksum being wrong; ValueError where there is no such address."""
        path = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()) / name
        self.log(f"Requesting download {name} from {uri} ...")
        try:
            urllib.request.urlretrieve(uri, path)
        except OSError:
            raise ValueError(f"Failed to download {uri} to {path}") from None
        if f"SHA256:{hashlib.sha256(path.read_bytes()).hexdigest()}" != checksum:
            path.unlink()
        return str(path)

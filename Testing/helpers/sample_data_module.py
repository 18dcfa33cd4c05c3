"""Stands in for Slicer's SampleData module, of which slicer-core has none.

As far as the sample needs it, and with its ways.
"""

from types import SimpleNamespace

import slicer


class SampleDataLogic:
    """Sources by category in slicer.modules.sampleDataSources."""

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
            uris=[uris],
            fileNames=[fileNames],
            nodeNames=[nodeNames],
            loadFiles=[loadFiles],
            checksums=[checksums],
        )
        source = SimpleNamespace(
            sampleName=sampleName, customDownloader=customDownloader, thumbnailFileName=thumbnailFileName, **values)  # fmt: skip
        sources = slicer.modules.sampleDataSources.setdefault(category, [])
        if str(source) not in map(str, sources):  # Slicer compares sources as text, too
            sources.append(source)

"""What verbs take and give: pictures, photographs as they are, codes, lines of text. No torch until tensors are
asked for.

A medium is a frozen dataclass, a Made (which says how it was made and of what), with a `name` and, for the command
line,

    NOUN        what people call one
    READS       the endings of files that it is read from, by load(path)
    ENDING      of the files that it is written to, by save(path), one for each item; "" where there are none
    TOGETHER    ending -> function(items, path) that writes all items, if there are several, into one file
    PRINTED     whether items go to the terminal where no file is asked for
    LARGE       whether files are read one by one as their turn comes; check(path) then looks at each before
"""

from .code import Code, save_codes
from .files import Files
from .image import Image, above, sheet
from .music import Music, medley, rolls
from .photo import Photo
from .record import RECORD, XMP, read_record
from .text import Text, save_texts
from .textsheet import text_sheet

__all__ = [
    "RECORD",
    "XMP",
    "Code",
    "Files",
    "Image",
    "Music",
    "Photo",
    "Text",
    "above",
    "medley",
    "read_record",
    "rolls",
    "save_codes",
    "save_texts",
    "sheet",
    "text_sheet",
]

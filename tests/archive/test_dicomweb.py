"""DICOMweb against servers that lie, redirect, ask for a token or speak TLS; requests of the client are real."""

import http.server
import json
import ssl
import threading

import pytest

pytest.importorskip("dicomweb_client")

from scripts.archive.archive import ArchiveUnreachable, Connection, FileRefused, Instance, Wanted
from scripts.archive.dicomweb import DicomWebArchive
from tests.outputs.dicom.drawn import mammogram_file

pytestmark = pytest.mark.archive
IMAGE = Instance("1.2.3", "1.2.4", "1.2.5", "1.2.840.10008.5.1.4.1.1.1.2", "MG")
MULTIPART = 'multipart/related; type="application/dicom"; boundary="edge"'


class Server:
    """Answers every GET with what `answer(path, headers)` gives: (status, headers, body)."""

    def __init__(self, answer, context=None):
        server = self
        self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append((self.path, dict(self.headers)))
                status, headers, body = answer(self.path, self.headers)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for chunk in [body] if isinstance(body, bytes) else body:
                    self.wfile.write(chunk)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # the client hangs up
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.server.server_address[1]}/dicom-web"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def serve():
    running = []

    def begin(answer, context=None, **connection):
        running.append(Server(answer, context))
        return running[-1], DicomWebArchive(Connection(running[-1].url, timeout_s=2.0, attempts=1, **connection))

    yield begin
    for server in running:
        server.server.shutdown()
        server.server.server_close()


def part(content):
    return b"--edge\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--edge--"


def endless():
    while True:
        yield b"x" * (1 << 20)


def pages(entries, size):
    """A search that gives at most `size` results, whatever it is asked for."""

    def answer(path, headers):
        offset = int(path.split("offset=")[1].split("&")[0])
        body = json.dumps(entries[offset : offset + size]).encode()
        return 200, {"Content-Type": "application/dicom+json"}, body

    return answer


def study(uid, number=None):
    count = {} if number is None else {"00201208": {"vr": "IS", "Value": [number]}}
    return {"0020000D": {"vr": "UI", "Value": [uid]}} | count


def test_all_pages_of_a_search_each_study_once(serve):
    entries = [study(f"1.2.{n}", n) for n in range(7)]
    _, archive = serve(pages(entries, 3))
    assert [(found.uid, found.instances) for found in archive.studies(Wanted())] == [(f"1.2.{n}", n) for n in range(7)]


def test_a_search_that_ignores_the_offset_ends(serve):
    body = json.dumps([study("1.2.3")] * 3).encode()
    server, archive = serve(lambda *_: (200, {"Content-Type": "application/dicom+json"}, body))
    assert [found.uid for found in archive.studies(Wanted(dates="20260101-"))] == ["1.2.3"]
    assert "ModalitiesInStudy=MG" in server.requests[0][0] and "StudyDate=20260101-" in server.requests[0][0]


@pytest.mark.parametrize("body", [b'["text", 3, null, {}]', b'{"0020000D": 5}', b"[]", b"", b'"text"'])
def test_odd_search_results_are_passed_over(serve, body):
    _, archive = serve(lambda *_: (200, {"Content-Type": "application/dicom+json"}, body))
    assert not list(archive.studies(Wanted()))


def test_uids_that_are_paths_are_passed_over(serve):
    body = json.dumps([study("../../x"), study("1.2.3"), study("1.2.3/../4")]).encode()
    _, archive = serve(lambda *_: (200, {"Content-Type": "application/dicom+json"}, body))
    assert [found.uid for found in archive.studies(Wanted())] == ["1.2.3"]


@pytest.mark.parametrize("status", [401, 403, 500, 503, 302])
def test_an_archive_that_does_not_answer_searches_is_unreachable(serve, status):
    _, archive = serve(lambda *_: (status, {"Location": "http://127.0.0.1:1/"} if status == 302 else {}, b""))
    with pytest.raises(ArchiveUnreachable):
        list(archive.studies(Wanted()))


def test_what_is_no_json_is_no_answer(serve):
    _, archive = serve(lambda *_: (200, {"Content-Type": "application/json"}, b"<html>log in</html>"))
    with pytest.raises(ArchiveUnreachable, match="JSONDecodeError"):
        list(archive.studies(Wanted()))


def test_a_search_result_without_end_is_refused(serve, monkeypatch):
    monkeypatch.setattr("scripts.archive.dicomweb.LARGEST_JSON", 3_000_000)
    _, archive = serve(lambda *_: (200, {"Content-Type": "application/json"}, endless()))
    with pytest.raises(FileRefused, match="got more than 3000000 bytes"):
        list(archive.studies(Wanted()))


def test_nobody_there():
    with pytest.raises(ArchiveUnreachable, match="cannot be reached: ConnectionError"):
        list(DicomWebArchive(Connection("http://127.0.0.1:1/dicom-web")).studies(Wanted()))


ANSWERS = {
    "html": (200, {"Content-Type": "text/html"}, b"<html>log in</html>", "want"),
    "no end": (200, {"Content-Type": MULTIPART}, b"--edge\r\n\r\nDICM", "a multipart message without end"),
    "no part": (200, {"Content-Type": MULTIPART}, b"\r\n--edge--", "a multipart message without end"),
    "gone": (404, {}, b"", "got status 404; want an image"),
    "broken there": (500, {}, b"", "got status 500; want an image"),
    "no DICOM": (200, {"Content-Type": MULTIPART}, part(b"nothing"), "want"),
    "told to be huge": (200, {"Content-Type": MULTIPART}, endless(), "got more than 1000000 bytes"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_is_no_image_is_refused(serve, tmp_path, case):
    status, headers, body, said = ANSWERS[case]
    _, archive = serve(lambda *_: (status, headers, body), largest_mb=1.0)
    with pytest.raises(FileRefused, match=said):
        archive.fetch(IMAGE, tmp_path / "image.dcm")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1.1e6
    assert not list(tmp_path.glob("*.answer"))


def test_an_answer_that_is_cut_is_no_image(serve, tmp_path):
    _, archive = serve(lambda *_: (200, {"Content-Type": MULTIPART, "Content-Length": "9999"}, part(b"abc")))
    with pytest.raises(ArchiveUnreachable):
        archive.fetch(IMAGE, tmp_path / "image.dcm")


@pytest.mark.parametrize("kind", [MULTIPART, "application/dicom", MULTIPART.replace('"edge"', "edge")])
def test_an_image_arrives_byte_for_byte(serve, tmp_path, kind):
    from pydicom import dcmread

    file = mammogram_file(tmp_path)
    header, content = dcmread(file), file.read_bytes()
    image = Instance(header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID, IMAGE.sop_class, "MG")
    body = part(content) if "multipart" in kind else content
    server, archive = serve(lambda *_: (200, {"Content-Type": kind}, body))
    assert archive.fetch(image, tmp_path / "image.dcm").read_bytes() == content
    path, headers = server.requests[0]
    assert path.endswith(f"/studies/{image.study}/series/{image.series}/instances/{image.sop}")
    assert "transfer-syntax=*" in headers["Accept"]


def test_the_token_is_read_anew_for_each_request(serve, tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")
    server, archive = serve(pages([], 1), token_file=str(token))
    list(archive.studies(Wanted()))
    token.write_text("second")
    list(archive.studies(Wanted()))
    assert [headers["Authorization"] for _, headers in server.requests] == ["Bearer first", "Bearer second"]


def test_tls_needs_the_right_certificates_on_both_sides(serve, certificates):
    cert, key = map(str, certificates)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.load_verify_locations(cert)
    context.verify_mode = ssl.CERT_REQUIRED
    answer = pages([study("1.2.3")], 5)
    _, ours = serve(answer, context, ca_file=cert, client_cert=cert, client_key=key)
    assert [found.uid for found in ours.studies(Wanted())] == ["1.2.3"]
    for wrong in ({}, {"ca_file": cert}):
        _, archive = serve(answer, context, **wrong)
        with pytest.raises(ArchiveUnreachable):
            list(archive.studies(Wanted()))


def test_a_password_in_the_address_and_other_schemes_are_refused():
    for url in ("ftp://127.0.0.1/x", "127.0.0.1:8042", "http:///x"):
        with pytest.raises(ValueError, match="archive: got"):
            DicomWebArchive(Connection(url))
    with pytest.raises(ValueError, match="want --token-file") as error:
        DicomWebArchive(Connection("http://me:secret@127.0.0.1/dicom-web"))
    assert "secret" not in str(error.value)

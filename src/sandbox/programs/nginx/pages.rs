//! NGINX's own pages.

use bytes::Bytes;
use http::{Response, StatusCode, header};

/// The page for a status, as NGINX prints it.
pub(super) fn page(status: StatusCode) -> Response<Bytes> {
    let title = format!(
        "{} {}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default()
    );
    let text = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
         <hr><center>nginx/1.29.4</center>\r\n</body>\r\n</html>\r\n"
    );
    let mut page = Response::new(Bytes::from(text));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    headers.insert(
        header::SERVER,
        header::HeaderValue::from_static("nginx/1.29.4"),
    );
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/html"),
    );
    page
}

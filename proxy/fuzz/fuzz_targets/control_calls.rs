#![no_main]

use cutover_control::{Call, LineBuffer};

/// All lines of what comes in pieces of a size.
fn lines(bytes: &[u8], size: usize) -> Vec<Vec<u8>> {
    let mut buffer = LineBuffer::default();
    let mut lines = Vec::new();
    for piece in bytes.chunks(size) {
        buffer.extend(piece);
        while let Ok(Some(line)) = buffer.next_line() {
            lines.push(line);
        }
    }
    lines
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let whole = lines(bytes, usize::MAX);
    assert_eq!(whole, lines(bytes, 1), "lines depend on the pieces that they came in");
    for line in whole.iter().map(Vec::as_slice).chain([bytes]) {
        let Ok(call) = Call::from_line(line) else { continue };
        let Ok(again) = call.to_line() else { continue };
        assert_eq!(Call::from_line(&again).ok(), Some(call), "a call is not what it says");
    }
});

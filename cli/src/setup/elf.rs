use std::path::Path;

use super::Error;

/// A type of program header: the path of the dynamic linker (System V ABI, generic, chapter 5).
const PT_INTERP: u32 = 3;
const PROGRAM_HEADER: usize = 56;

/// A processor architecture, by the names that are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Architecture {
    /// As in images (Go's GOARCH).
    pub(super) image: &'static str,
    /// As the kernel and the Docker Engine call it.
    pub(super) kernel: &'static str,
}

/// The architectures that Cutover runs on, by their number in an ELF header.
const ARCHITECTURES: [(u16, Architecture); 2] = [
    (62, Architecture { image: "amd64", kernel: "x86_64" }),
    (183, Architecture { image: "arm64", kernel: "aarch64" }),
];

/// Reads the headers of a program that has to run where there is nothing but itself, and answers what it runs on.
///
/// # Errors
/// No program of a known architecture, or one that needs a dynamic linker.
pub(super) fn check_static(path: &Path, program: &[u8]) -> Result<Architecture, Error> {
    let wrong = |reason| Error::NoProgram { path: path.to_owned(), reason };
    // 64-bit, little-endian: class 2, encoding 1.
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return Err(wrong("it does not begin like one"));
    }
    let architecture = architecture(program).ok_or_else(|| wrong("it is for another processor"))?;
    match interpreter(program) {
        Some(None) => Ok(architecture),
        Some(Some(interpreter)) => Err(Error::Dynamic { path: path.to_owned(), interpreter }),
        None => Err(wrong("it is cut off")),
    }
}

fn architecture(program: &[u8]) -> Option<Architecture> {
    let machine = u16::from_le_bytes(field(program, 18)?);
    ARCHITECTURES.iter().find(|(number, _)| *number == machine).map(|(_, architecture)| *architecture)
}

/// The dynamic linker that a program asks for; nothing at all where its headers end early.
fn interpreter(program: &[u8]) -> Option<Option<String>> {
    let table = usize::try_from(u64::from_le_bytes(field(program, 32)?)).ok()?;
    let count = u16::from_le_bytes(field(program, 56)?);
    for number in 0..usize::from(count) {
        let at = table.checked_add(number * PROGRAM_HEADER)?;
        let header = program.get(at..at.checked_add(PROGRAM_HEADER)?)?;
        if u32::from_le_bytes(field(header, 0)?) == PT_INTERP {
            let offset = usize::try_from(u64::from_le_bytes(field(header, 8)?)).ok()?;
            let length = usize::try_from(u64::from_le_bytes(field(header, 32)?)).ok()?;
            let name = program.get(offset..offset.checked_add(length)?)?;
            return Some(Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned()));
        }
    }
    Some(None)
}

fn field<const LENGTH: usize>(program: &[u8], offset: usize) -> Option<[u8; LENGTH]> {
    program.get(offset..)?.first_chunk().copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;

    /// The smallest headers of a program that needs no linker: one header, of the type PT_LOAD.
    pub(in crate::setup) fn static_program() -> Vec<u8> {
        let mut program = vec![0; 64 + PROGRAM_HEADER];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        program[18..20].copy_from_slice(&62u16.to_le_bytes());
        program[32..40].copy_from_slice(&64u64.to_le_bytes());
        program[56..58].copy_from_slice(&1u16.to_le_bytes());
        program[64..68].copy_from_slice(&1u32.to_le_bytes());
        program
    }

    fn check(program: &[u8]) -> Result<Architecture, Error> {
        check_static(Path::new("cutover-proxy"), program)
    }

    #[test]
    fn a_static_program_may_run_from_scratch() {
        assert_eq!(check(&static_program()).unwrap().image, "amd64");
    }

    #[test]
    fn a_program_with_a_linker_is_refused_with_the_way_to_build_it() {
        let shell = std::fs::read("/bin/sh").unwrap();
        let error = check(&shell).unwrap_err();
        assert!(matches!(&error, Error::Dynamic { interpreter, .. } if interpreter.contains("/ld-linux")));
        assert!(error.to_string().contains("crt-static"), "{error}");
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let mut other = static_program();
        other[18] = 243;
        for program in [&b""[..], b"#!/bin/sh\n", &static_program()[..70], &other] {
            assert!(matches!(check(program), Err(Error::NoProgram { .. })));
        }
    }
}

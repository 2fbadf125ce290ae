//! Units of the wire → units of the points. A table; knows no point.

/// What a unit measures: only within one can be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    Current,
    Voltage,
    Power,
    Energy,
    Temperature,
    Time,
    Pressure,
    Ratio,
    Concentration,
    Length,
}

/// Names, quantity, and value in the base unit = wire × factor + offset.
const UNITS: [(&[&str], Quantity, f64, f64); 41] = [
    (&["A"], Quantity::Current, 1.0, 0.0),
    (&["mA"], Quantity::Current, 1e-3, 0.0),
    (&["uA", "µA", "μA"], Quantity::Current, 1e-6, 0.0),
    (&["dA"], Quantity::Current, 0.1, 0.0),
    (&["V"], Quantity::Voltage, 1.0, 0.0),
    (&["mV"], Quantity::Voltage, 1e-3, 0.0),
    (&["kV"], Quantity::Voltage, 1e3, 0.0),
    (&["dV"], Quantity::Voltage, 0.1, 0.0),
    (&["W"], Quantity::Power, 1.0, 0.0),
    (&["mW"], Quantity::Power, 1e-3, 0.0),
    (&["kW"], Quantity::Power, 1e3, 0.0),
    (&["dW"], Quantity::Power, 0.1, 0.0),
    (&["kWh"], Quantity::Energy, 1.0, 0.0),
    (&["Wh"], Quantity::Energy, 1e-3, 0.0),
    (
        &["Wmin", "W·min", "W.min", "W-min"],
        Quantity::Energy,
        1.0 / 60_000.0,
        0.0,
    ),
    (&["Ws", "J"], Quantity::Energy, 1.0 / 3.6e6, 0.0),
    (&["MJ"], Quantity::Energy, 1.0 / 3.6, 0.0),
    (&["℃", "°C", "C"], Quantity::Temperature, 1.0, 0.0),
    (&["℉", "°F", "F"], Quantity::Temperature, 5.0 / 9.0, -160.0 / 9.0),
    (&["K"], Quantity::Temperature, 1.0, -273.15),
    (&["s"], Quantity::Time, 1.0, 0.0),
    (&["ms"], Quantity::Time, 1e-3, 0.0),
    (&["min"], Quantity::Time, 60.0, 0.0),
    (&["h"], Quantity::Time, 3_600.0, 0.0),
    (&["d"], Quantity::Time, 86_400.0, 0.0),
    (&["Pa"], Quantity::Pressure, 1.0, 0.0),
    (&["hPa", "mbar"], Quantity::Pressure, 100.0, 0.0),
    (&["kPa"], Quantity::Pressure, 1e3, 0.0),
    (&["MPa"], Quantity::Pressure, 1e6, 0.0),
    (&["bar"], Quantity::Pressure, 1e5, 0.0),
    (&["psi"], Quantity::Pressure, 6_894.757_293_168, 0.0),
    (&["%"], Quantity::Ratio, 1.0, 0.0),
    (&["1", "ratio"], Quantity::Ratio, 100.0, 0.0),
    (&["‰"], Quantity::Ratio, 0.1, 0.0),
    (&["ppm"], Quantity::Concentration, 1.0, 0.0),
    (&["ppb"], Quantity::Concentration, 1e-3, 0.0),
    (&["%VOL", "%vol", "vol%"], Quantity::Concentration, 1e4, 0.0),
    (&["m"], Quantity::Length, 1.0, 0.0),
    (&["cm"], Quantity::Length, 1e-2, 0.0),
    (&["mm"], Quantity::Length, 1e-3, 0.0),
    (&["km"], Quantity::Length, 1e3, 0.0),
];

/// Concentration in ppm that is 100 %LEL; approximate values in air, for profiles that give none of their own.
const LEL_PPM: [(&str, f64); 6] = [
    ("methane", 50_000.0),
    ("natural_gas", 50_000.0),
    ("propane", 21_000.0),
    ("butane", 18_000.0),
    ("lpg", 18_000.0),
    ("hydrogen", 40_000.0),
];

/// The built-in gases, for messages.
pub(in crate::domain::profile) fn gases() -> impl Iterator<Item = &'static str> {
    LEL_PPM.iter().map(|(gas, _)| *gas)
}

/// The ppm that are 100 %LEL of `gas`: of `own`, else the built-in.
pub(in crate::domain::profile) fn lel_ppm(gas: &str, own: &[(String, f64)]) -> Option<f64> {
    let own = own.iter().find(|(name, _)| name == gas).map(|(_, ppm)| *ppm);
    own.or_else(|| LEL_PPM.iter().find(|(name, _)| *name == gas).map(|(_, ppm)| *ppm))
}

fn find(name: &str) -> Option<(Quantity, f64, f64)> {
    UNITS
        .iter()
        .find(|(names, ..)| names.contains(&name))
        .map(|(_, quantity, factor, offset)| (*quantity, *factor, *offset))
}

/// Factor and offset from `from` to `to`; `lel_ppm`: the ppm of 100 %LEL, when a gas is named. The error says why not.
pub(in crate::domain::profile) fn convert(
    from: &str,
    to: &str,
    lel_ppm: Option<f64>,
) -> Result<(f64, f64), String> {
    if from == to {
        return Ok((1.0, 0.0));
    }
    let Some((quantity, factor, offset)) = find(from) else {
        let near = UNITS.iter().flat_map(|(names, ..)| names.iter());
        let near = near.copied().find(|name| name.eq_ignore_ascii_case(from));
        let near = near
            .map(|name| format!("; did you mean {name:?}?"))
            .unwrap_or_default();
        return Err(format!("unit {from:?} is not known{near}"));
    };
    if to == "%LEL" {
        if quantity != Quantity::Concentration {
            return Err(format!("{from} does not become %LEL"));
        }
        let Some(ppm) = lel_ppm else {
            return Err(format!(
                "how many %LEL {from} are depends on the gas: give `gas` = {}",
                LEL_PPM.map(|(gas, _)| format!("{gas:?}")).join(", ")
            ));
        };
        return Ok((factor * 100.0 / ppm, 0.0));
    }
    match find(to) {
        Some((same, to_factor, to_offset)) if same == quantity => {
            Ok((factor / to_factor, (offset - to_offset) / to_factor))
        }
        Some(_) | None => Err(format!("{from} does not become the point's unit {to:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_convert_within_a_quantity() {
        let table = [
            (1_500.0, "mA", "A", None, 1.5),
            (230_500.0, "mV", "V", None, 230.5),
            (1.2, "kW", "W", None, 1_200.0),
            (60_000.0, "W·min", "kWh", None, 1.0),
            (500.0, "Wh", "kWh", None, 0.5),
            (212.0, "℉", "℃", None, 100.0),
            (300.0, "K", "℃", None, 26.85),
            (2.0, "min", "s", None, 120.0),
            (12_500.0, "ppm", "%LEL", Some(50_000.0), 25.0),
            (2.5, "%VOL", "%LEL", Some(50_000.0), 50.0),
            (0.3, "A", "mA", None, 300.0),
        ];
        for (wire, from, to, lel, expected) in table {
            let (scale, offset) = convert(from, to, lel).unwrap();
            let value = wire * scale + offset;
            assert!((value - expected).abs() < 1e-9, "{wire} {from} = {value} {to}");
        }
        for (from, to) in [("ppm", "%LEL"), ("A", "V"), ("furlong", "m"), ("A", "")] {
            assert!(convert(from, to, None).is_err(), "{from} {to}");
        }
    }
}
